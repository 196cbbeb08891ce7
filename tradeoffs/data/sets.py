"""What the two data sets are used for: cxr, MIMIC-CXR with MS-CXR, and coco, MS-COCO."""

TEXTS = {"cxr": ["phrase", "impression"], "coco": ["caption"]}  # texts of the heat maps, the default one first
GROUNDED = {"cxr": "mscxr", "coco": "test"}  # split of the images with heat maps, on which localisation is scored
POPULATION = {"cxr": "p19", "coco": "test"}  # split of the real images that samples are compared with
