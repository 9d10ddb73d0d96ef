"""Marks by the memory that they belong to."""

from typing import Any

import torch
from torch import Tensor
from torch.multiprocessing.reductions import StorageWeakRef

from fpnprobe.probing.provenance.marks import NONE


class MarkMemory:
    """One int32 mark for each element of each storage that holds something of an object.

    Marks belong to the storage and not to the tensor, so a view of a marked tensor is marked, and
    what is written through a view is seen by its base. A storage that dies takes its marks along.

    Attributes:
        classes: Class of each numbered object, `(N,)`, or None where nobody said.

    >>> memory = MarkMemory()
    >>> boxes = torch.zeros(2, 4)
    >>> memory.write(boxes, torch.tensor([[5], [6]]).expand(2, 4))
    >>> memory.read(boxes[1, :2]).tolist(), memory.knows(torch.zeros(2))
    ([6, 6], False)
    """

    def __init__(self) -> None:
        self.classes: Tensor | None = None
        self._by_storage: dict[int, tuple[StorageWeakRef, int, Tensor]] = {}
        self._sweep_at = 1024

    def knows(self, tensor: Tensor) -> bool:
        """Whether something of the tensor's storage was ever marked."""
        return (
            tensor.layout == torch.strided and tensor.untyped_storage()._cdata in self._by_storage
        )

    def read(self, tensor: Tensor) -> Tensor:
        """Marks of the elements of a tensor, in its shape; never write into what is returned."""
        marks = self._view(tensor) if self.knows(tensor) else None
        if marks is None:
            one = torch.full((1,), NONE, dtype=torch.int32, device=tensor.device)
            return one.expand(tensor.shape) if tensor.dim() else one[0]
        return marks

    def holds_classes(self, numbers: Tensor) -> bool:
        """Whether marked numbers are the classes of their objects, and not places.

        Classes may be counted from another number than in the annotations.
        """
        marks = self.read(numbers)
        known = marks >= 0
        if not bool(known.any()):
            return False
        if self.classes is None:
            return True
        shift = numbers[known].long() - self.classes.to(numbers.device)[marks[known].long()]
        return bool((shift == shift[0]).all()) and abs(int(shift[0])) <= 1

    def write(self, tensor: Tensor, marks: Tensor) -> None:
        """Set the marks of a tensor's elements; marks may be broadcast to its shape."""
        if not self.knows(tensor):
            if not bool((marks != NONE).any()):
                return
            self._add(tensor)
        place = self._view(tensor)
        if place is not None:
            place.copy_(marks)

    def _add(self, tensor: Tensor) -> None:
        storage = tensor.untyped_storage()
        size = tensor.element_size()
        flat = torch.full(
            (storage.nbytes() // size,), NONE, dtype=torch.int32, device=tensor.device
        )
        # The weak reference keeps the number of the storage from being used again.
        self._by_storage[storage._cdata] = StorageWeakRef(storage), size, flat
        if len(self._by_storage) > self._sweep_at:
            dead = [key for key, (alive, _, _) in self._by_storage.items() if alive.expired()]
            for key in dead:
                del self._by_storage[key]
            self._sweep_at = 2 * len(self._by_storage) + 1024

    def _view(self, tensor: Tensor) -> Tensor | None:
        """The marks that a tensor looks at; None where it reads the bytes as another type."""
        _, size, flat = self._by_storage[tensor.untyped_storage()._cdata]
        if size != tensor.element_size():
            return None
        if tensor.untyped_storage().nbytes() // size > len(flat):  # the storage has grown
            longer = torch.full(
                (tensor.untyped_storage().nbytes() // size,),
                NONE,
                dtype=torch.int32,
                device=flat.device,
            )
            longer[: len(flat)] = flat
            key = tensor.untyped_storage()._cdata
            self._by_storage[key] = self._by_storage[key][0], size, longer
            flat = longer
        return flat.as_strided(tensor.shape, tensor.stride(), tensor.storage_offset())


class MarkedArrays:
    """Objects of the rows of numpy arrays, by the address of their memory.

    Args:
        memory: Where the marks of tensors are written.
    """

    def __init__(self, memory: MarkMemory) -> None:
        self._memory = memory
        self._by_address: dict[int, tuple[Any, Tensor]] = {}

    def mark(self, array: Any, numbers: Tensor) -> None:
        """Say which object each row of an array belongs to."""
        address = int(array.__array_interface__["data"][0])
        self._by_address[address] = array, numbers.cpu().to(torch.int32)

    def adopt(self, tensors: list[Tensor]) -> None:
        """Mark tensors that lie on the memory of a marked array."""
        for tensor in tensors if self._by_address else ():
            if tensor.device.type == "cpu" and not self._memory.knows(tensor):
                found = self._by_address.get(tensor.untyped_storage().data_ptr())
                if found is not None and found[0].nbytes == tensor.untyped_storage().nbytes():
                    array, numbers = found
                    flat = tensor.as_strided((array.size,), (1,), 0)
                    rows = numbers.reshape(-1, 1).expand(-1, array.size // max(len(numbers), 1))
                    self._memory.write(flat, rows.reshape(-1))
