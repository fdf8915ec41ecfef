"""The report on a source of images: statistics, findings to act on, and notes to know of."""

from pydantic import BaseModel, Field, computed_field

Names = tuple[str, ...]


class Named(BaseModel, frozen=True):
    """An image and what is wrong with it."""

    name: str
    reason: str


class Moved(Named, frozen=True):
    """An image that was moved out of its folder, and its new path."""

    to: str


class Report(BaseModel, frozen=True):
    """The result of one pass over all images of a source. Names and groups are sorted.

    In a group of duplicates the first is the one to keep. The three kinds of duplicates do not overlap: of a group of
    one kind, only the first is compared for the next.
    """

    source: str = Field(description="the source that was checked")
    crop: str = Field(description="the crop that was tried on each image; `auto` is the largest centre square")
    resolution: int = Field(description="side in pixels to which each image would be resized")
    near: int | None = Field(description="bits in which near duplicates' hashes may differ; none: not searched")
    num_pictures: int = Field(description="images that the source lists after split and limit")
    passed_over: dict[str, int] = Field({}, description="files in unsupported formats, by suffix")
    size_bytes: int = Field(description="their files' sizes together, in bytes; 0 where there are no files")
    sizes: dict[str, int] = Field(description="images by width x height in pixels, upright, the most frequent first")
    shapes: dict[str, int] = Field(description="images by width / height, from tall to wide")
    modes: dict[str, int] = Field(description="images by Pillow's mode of the file, the most frequent first")
    formats: dict[str, int] = Field(description="images by the format of the file, the most frequent first")
    unreadable: tuple[Named, ...] = Field(description="files that cannot be decoded")
    refused: tuple[Named, ...] = Field(description="images that the crop does not fit")
    tiny: tuple[Named, ...] = Field(description="images whose crop is smaller than the resolution")
    duplicates: tuple[Names, ...] = Field(description="groups of files that are equal byte for byte")
    same_pixels: tuple[Names, ...] = Field(description="groups of different files that decode to equal pixels")
    near_duplicates: tuple[Names, ...] = Field(description="groups of images that look almost alike")
    greyscale: Names = Field(description="images without colour, whatever the file's mode")
    rotated: Names = Field(description="images turned upright by their EXIF orientation")
    quarantined: tuple[Moved, ...] = Field((), description="images moved out of the folder")

    @computed_field(description="images concerned by each kind of finding; of duplicates, all but the first ones")  # type: ignore[prop-decorator]
    @property
    def findings(self) -> dict[str, int]:
        """The number of images that each kind of finding concerns; of a group of duplicates, all but the first."""
        faulty = {"unreadable": self.unreadable, "refused": self.refused, "tiny": self.tiny}
        groups = {
            "duplicates": self.duplicates,
            "same_pixels": self.same_pixels,
            "near_duplicates": self.near_duplicates,
        }
        return {kind: len(listed) for kind, listed in faulty.items()} | {
            kind: sum(len(group) - 1 for group in listed) for kind, listed in groups.items()
        }

    @computed_field(description="whether there are no findings; greyscale and rotated images are none")  # type: ignore[prop-decorator]
    @property
    def clean(self) -> bool:
        """Whether there are no findings. Greyscale and rotated images are notes, not findings."""
        return not any(self.findings.values())
