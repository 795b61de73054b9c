"""Folders: the clips in them, to any depth, and clips that are folders of images."""

from __future__ import annotations

import hashlib
import os
import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator
from contextlib import suppress
from decimal import Decimal
from pathlib import Path

from spf.errors import ClipError, ConfigError
from spf.identity import canonical, file_digest
from spf.names import printable
from spf.video.clip import IMAGE_SUFFIXES, SUFFIXES, Render, plural
from spf.video.images import (
    DAMAGE,
    decode,
    described,
    only_stream,
    open_image,
    oriented_size,
    render,
)

Number = tuple[str, ...]  # sign, digits, exponent
MINUS = ("-", "\u2212")
# A sign counts behind no letter or digit, an exponent with its sign, and one decimal point.
NUMBER = re.compile(
    r"((?<![^\W_])[-+\u2212])?"
    r"((?<!\d\.)\d+\.\d+(?!\d|\.\d)|\d+)"
    r"(e[-+]\d{1,3}(?![^\W_]))?"
)
MARK = re.compile(r"([\W_]+[^\W\d_]+)+")  # _mask, -depth_map
UNDECODABLE = ("none of its images can be decoded", "make the images again")
LOSSY = (".jpg", ".jpeg", ".webp", ".avif")


def list_frames(folder: Path) -> tuple[list[Path], list[str]]:
    """The frames of a folder in the order of `in_order`, and notes on what is left out.

    Of files that differ in their suffix alone, one is a frame; what accompanies frames
    (frame_001_mask.png beside frame_001.png) is none. Raises OSError.
    """
    files = [p for p in folder.iterdir() if p.suffix.lower() in IMAGE_SUFFIXES]
    files = [p for p in files if not p.name.startswith(".") and p.is_file()]
    if len(files) < 2:
        return files, []
    notes: list[str] = []
    files = _without_doubles(files, notes)
    files = _without_companions(files, notes)
    by_name = {file.name: file for file in files}
    return [by_name[name] for name in in_order(by_name)], notes


def in_order(names: Iterable[str]) -> list[str]:
    """Names of images in the order of the numbers in them: frame2 before frame10.

    Suffixes do not count. Two readings depend on the other names that begin alike: a minus sign
    that all of them have separates, and points are no decimal ones where the digits behind them
    differ in number and some end in 0 (take1.9, take1.10).
    """
    split = {name: _split(name) for name in names}
    columns: dict[tuple[str, ...], list[Number]] = defaultdict(list)
    for texts, numbers in split.values():
        for place, number in enumerate(numbers, 1):
            columns[tuple(texts[:place])].append(number)
    signed = {at: len({n[0] in MINUS for n in numbers}) > 1 for at, numbers in columns.items()}
    counted = {at: _are_counters(numbers) for at, numbers in columns.items()}

    def key(name: str) -> tuple[list[object], str]:
        texts, numbers = split[name]
        parts: list[object] = [texts[0]]
        for place, (sign, digits, exponent) in enumerate(numbers, 1):
            at = tuple(texts[:place])
            first, *rest = digits.split(".") if counted[at] else [digits]
            value = Decimal(first + exponent)
            value = value.copy_negate() if signed[at] and sign in MINUS else value
            parts += [(value, *map(int, rest)), texts[place]]
        return parts, name

    return sorted(split, key=key)


def _split(name: str) -> tuple[list[str], list[Number]]:
    """The texts of a name without its suffix, and the numbers between them."""
    stem = Path(name).stem.casefold()
    found = list(NUMBER.finditer(stem))
    ends = [0, *(number.end() for number in found)]
    starts = [*(number.start() for number in found), len(stem)]
    texts = [stem[end:start] for end, start in zip(ends, starts, strict=True)]
    return texts, [number.groups("") for number in found]


def _are_counters(numbers: list[Number]) -> bool:
    fractions = [digits.partition(".")[2] for _, digits, _ in numbers if "." in digits]
    return len({len(f) for f in fractions}) > 1 and any(f.endswith("0") for f in fractions)


def _without_doubles(files: list[Path], notes: list[str]) -> list[Path]:
    """One file of each name: of the commonest format, lossless ones before others."""
    kinds = {file: file.suffix.lower() for file in files}
    counts = Counter(kinds.values())
    ranks = {file: (-counts[kind], kind in LOSSY, kind) for file, kind in kinds.items()}
    chosen: dict[str, Path] = {}
    for file in sorted(files, key=lambda p: (ranks[p], p.name)):
        chosen.setdefault(file.stem, file)
    if left := sorted(file.name for file in kinds.keys() - chosen.values()):
        used = printable(chosen[Path(left[0]).stem].name)
        count = plural(len(left), "image")
        notes.append(f"{count} left out: {printable(left[0])} is {used} in another format")
    return list(chosen.values())


def _without_companions(files: list[Path], notes: list[str]) -> list[Path]:
    """Leave out what accompanies the frames (masks, depth); note where series are mixed."""
    series: dict[tuple[str, ...], dict[Path, tuple[Number, ...]]] = defaultdict(dict)
    for file in sorted(files, key=lambda p: p.name):
        texts, numbers = _split(file.name)
        series[tuple(texts)][file] = tuple(numbers)
    frames: list[list[Path]] = []
    for (*head, tail), members in series.items():
        partners = {
            numbers
            for place in range(len(tail) if head else 0)
            if MARK.fullmatch(tail, place)
            for numbers in series.get((*head, tail[:place]), {}).values()
        }
        if partners.issuperset(members.values()):
            name = printable(next(iter(members)).name)
            notes.append(f"{plural(len(members), 'image')} beside the frames left out: {name}")
        else:
            frames.append(list(members))
    found = [path for paths in frames for path in paths]
    if 1 < len(frames) < len(found):
        names = ", ".join(printable(paths[0].name) for paths in frames[:3])
        notes.append(f"the images are {len(frames)} series, in the order of their names: {names}")
    return found


def content_hash(path: str | os.PathLike[str]) -> str | None:
    """SHA-256, 64 hexadecimal digits, of what a clip is read from; None where it cannot be read.

    Of a file, its bytes; of a folder, the names and bytes of its frames and what is noted about it.
    Nothing is remembered by size and time of change: a file may be written within the clock's tick.
    """
    try:
        if not os.path.isdir(path):
            return file_digest(Path(path), "sha256")
        frames, notes = list_frames(Path(path))
        found = [[[frame.name, file_digest(frame, "sha256")] for frame in frames], notes]
        return hashlib.sha256(canonical(found)).hexdigest()
    except OSError:
        return None  # reading the clip reports what is wrong with it


def clips_in(
    folder: Path, prefix: str = "", above: tuple[tuple[int, int], ...] = ()
) -> Iterator[str]:
    """Paths, from the first folder, of the clips of a folder and the folders in it, sorted by name.

    A folder below that holds images and no videos is a clip; so is one that cannot be looked into,
    so that reading it reports why. Raises ConfigError where the first one cannot be listed.

    prefix, above : path of this folder, and (device, inode) of those that it lies in.
    """
    try:
        state = os.stat(folder)
        here = (state.st_dev, state.st_ino)
        if here in above:
            return
        with os.scandir(folder) as found:
            entries = sorted((e for e in found if e.name[0] != "."), key=lambda entry: entry.name)
    except OSError as error:
        if not above:
            why = f"cannot be read ({error.strerror}); change its permissions"
            raise ConfigError(f"{folder}: {why}") from None
        yield prefix.rstrip("/")
        return
    suffixes = [os.path.splitext(entry.name)[1].lower() for entry in entries]
    if above and SUFFIXES.isdisjoint(suffixes) and not IMAGE_SUFFIXES.isdisjoint(suffixes):
        yield prefix.rstrip("/")
    for entry, suffix in zip(entries, suffixes, strict=True):
        if suffix in SUFFIXES:
            yield prefix + entry.name
        elif _is_folder(entry):
            yield from clips_in(Path(entry.path), f"{prefix}{entry.name}/", (*above, here))


def _is_folder(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError:  # a link in a circle
        return False


class FolderSource:
    """The images of a folder (`list_frames`), all of one size, at times that are their indices; one
    that cannot be decoded leaves a gap."""

    def __init__(self, path: Path, stream: int | None) -> None:
        only_stream(path, stream)
        try:
            self._files, self._notes = list_frames(path)
        except PermissionError:
            raise ClipError(path, "the folder may not be read", "change its permissions") from None
        if not self._files:
            kinds = " ".join(sorted(IMAGE_SUFFIXES))
            raise ClipError(path, "the folder holds no images", f"put frames into it ({kinds})")
        self._bad: list[str] = []
        self.decoded = 0
        self._path = path
        for file in self._files:
            with suppress(ClipError), open_image(file) as image:
                self.info = described(path, image, len(self._files))
                return
        raise ClipError(path, *UNDECODABLE)

    def __iter__(self) -> Iterator[tuple[float, Render]]:
        size = (self.info.width, self.info.height)
        for index, file in enumerate(self._files):
            try:
                with open_image(file) as image:
                    decode(file, image)
                    found = oriented_size(image)
                    if found == size:
                        self.decoded += 1
                        yield float(index), lambda f=file, i=image: render(f, i)  # type: ignore[misc]
                        continue
            except (ClipError, *DAMAGE):
                self._bad.append(file.name)
                continue
            name = printable(file.name)
            reason = f"{name} is {found[0]} x {found[1]}, the first image {size[0]} x {size[1]}"
            raise ClipError(self._path, reason, "scale the images to one size")
        if not self.decoded:
            raise ClipError(self._path, *UNDECODABLE)

    def report(self, complete: bool) -> tuple[int, list[str]]:
        lost = len(self._bad)
        if not lost:
            return 0, self._notes
        count = f"{lost} of {len(self._files)} frames lost"
        which = f"{plural(lost, 'image')} cannot be decoded, first {printable(self._bad[0])}"
        return lost if complete else 0, [f"{count}: {which}", *self._notes]

    def close(self) -> None:
        pass
