"""The built-in published datasets, a row each. Checksums are those that a publisher names."""

from .publication import File, Publication
from .sources import DriveSource, HubSource, WebSource

# Google Drive's ids and md5 sums: torchvision 0.29, datasets/celeba.py.
_CELEBA_ZIP = File(
    name="img_align_celeba.zip",
    at="0B7EVK8r0v71pZjFTYXZWM3FlRnM",
    checksum="md5:00d2c5bc6d35e252742224ab0c1e8fcb",
    size_bytes=1_443_490_838,
)

_CELEBA_TEXTS = {
    "list_attr_celeba.txt": ("0B7EVK8r0v71pblRyaVFSWGxPY0U", "75e246fa4810816ffd6ee81facbd244c"),
    "list_eval_partition.txt": ("0B7EVK8r0v71pY0NSMzRuSXJEVkk", "d32c9cbf5e040fd4025c592c306e6668"),
    "identity_CelebA.txt": ("1_ee_0u7vcNLOfNLegJRHmolfH5ICW-XS", "32bd1bd63d3c78cd57e08160ec5ed1e2"),
}

CELEBA = Publication(
    name="celeba",
    title="CelebA, aligned and cropped (Liu et al. 2015)",
    about="Celebrities, aligned by their eyes, 178x218, with 40 attributes each",
    num_images=202_599,
    size_bytes=1_443_490_838,
    licence="non-commercial research only; no redistribution of any portion",
    licence_url="https://mmlab.ie.cuhk.edu.hk/projects/CelebA.html",
    crop="center:178",
    sources=(
        DriveSource(
            opens="img_align_celeba.zip",
            files=(
                _CELEBA_ZIP,
                *(
                    File(name=name, at=at, checksum=f"md5:{md5}", needed=False)
                    for name, (at, md5) in _CELEBA_TEXTS.items()
                ),
            ),
        ),
        HubSource(repo="flwrlabs/celeba"),  # with the attributes, and the partition as splits
        HubSource(repo="nielsr/CelebA-faces"),  # images only
    ),
    copies=(_CELEBA_ZIP,),
    by_hand="img_align_celeba.zip",
    by_hand_url="https://mmlab.ie.cuhk.edu.hk/projects/CelebA.html",
)

# figshare's copy and its sha256: scikit-learn, datasets/_lfw.py. md5 sums: torchvision 0.29, datasets/lfw.py.
LFW = Publication(
    name="lfw",
    title="Labeled Faces in the Wild, funneled (Huang et al. 2007, 2012)",
    about="5,749 people in the news, 250x250, one folder a person",
    num_images=13_233,
    size_bytes=243_346_528,
    licence="for research; no formal licence was published",
    licence_url="https://web.archive.org/web/2023/http://vis-www.cs.umass.edu/lfw/",
    crop="center:128",
    sources=(
        WebSource(
            host="figshare",
            opens="lfw-funneled.tgz",
            files=(
                File(
                    name="lfw-funneled.tgz",
                    at="https://ndownloader.figshare.com/files/5976015",
                    checksum="sha256:b47c8422c8cded889dc5a13418c4bc2abbda121092b3533a83306f90d900100a",
                    size_bytes=243_346_528,
                ),
            ),
        ),
    ),
    copies=(
        File(name="lfw-deepfunneled.tgz", checksum="md5:68331da3eb755a505a502b5aacb3c201"),
        File(name="lfw-funneled.tgz", checksum="md5:1b42dfed7d15c9b2dd63d5e5840c86ad", size_bytes=243_346_528),
        File(name="lfw.tgz", checksum="md5:a17d05bd522c52d84eca14327a23d494"),
    ),
    by_hand="lfw-funneled.tgz",
    by_hand_url="https://ndownloader.figshare.com/files/5976015",
)

# No publisher names a checksum of the archive; those of its members and the number of images are checked.
FFHQ_THUMBNAILS = Publication(
    name="ffhq-thumbnails",
    title="FFHQ thumbnails, 128x128 (Karras et al. 2019)",
    about="Portraits from Flickr, aligned, of many ages and origins",
    num_images=70_000,
    size_bytes=2_110_000_000,
    licence="CC BY-NC-SA 4.0",
    licence_url="https://creativecommons.org/licenses/by-nc-sa/4.0/",
    crop="none",
    sources=(
        WebSource(
            host="archive.org",
            opens="thumbnails128x128.zip",
            files=(
                File(
                    name="thumbnails128x128.zip",
                    at="https://archive.org/download/ffhq-dataset/thumbnails128x128.zip",
                ),
            ),
        ),
        HubSource(repo="nuwandaa/ffhq128", files="*thumbnails128x128.zip", opens="thumbnails128x128.zip"),
    ),
    by_hand="thumbnails128x128",
    by_hand_url="https://github.com/NVlabs/ffhq-dataset",
)
