"""Rules about the states of rows: whether the sums hold, and which stages train."""

from fpnprobe.evidence.findings import Finding
from fpnprobe.evidence.rules.rule import StateRule, Subject


def judge_soundness(subject: Subject) -> Finding:
    """Judge whether the sums of every sample hold."""
    variant = subject.variant
    states = [ledger.frame.groupby("iteration")["state"].agg(set) for ledger in subject.ledgers]
    samples = sum(len(by_iteration) for by_iteration in states)
    unsound = sum(
        int(by_iteration.map(lambda names: "unsound" in names).sum()) for by_iteration in states
    )
    if not samples:
        return Finding(
            rule="soundness", variant=variant, verdict="not measured", sentence="no sample"
        )
    return Finding(
        rule="soundness",
        variant=variant,
        verdict="found" if unsound else "clear",
        value=unsound / samples,
        threshold=0.0,
        samples=samples,
        sentence=f"{unsound} of {samples} samples of {variant} do not hold their sums"
        if unsound
        else f"the sums of all {samples} samples of {variant} hold",
        advice="do not use them; the log of the training says what is likely missing"
        if unsound
        else "",
    )


def judge_frozen(subject: Subject) -> Finding:
    """Judge whether every backbone stage trains."""
    variant = subject.variant
    frozen: set[str] = set()
    stages: set[str] = set()
    for ledger in subject.ledgers:
        rows = ledger.frame[ledger.frame["tap"].str.fullmatch(r"C\d+")]
        stages |= set(rows["tap"])
        frozen |= set(rows.loc[rows["state"].isin(("frozen", "would_arrive")), "tap"])
    names = ", ".join(sorted(frozen))
    return Finding(
        rule="frozen",
        variant=variant,
        stage=names,
        verdict="found" if frozen else "clear" if stages else "not measured",
        value=len(frozen) / len(stages) if stages else float("nan"),
        threshold=0.0,
        samples=0,
        sentence=f"{names} of {variant} is frozen and learns nothing from this training"
        if frozen
        else f"every stage of {variant} trains",
        advice="set model.backbone.frozen_stages=0 (in a study: detector.frozen_stages=0) to "
        "train C2"
        if frozen
        else "",
    )


SOUNDNESS_RULE = StateRule("soundness", judge_soundness)
FROZEN_RULE = StateRule("frozen", judge_frozen)
