"""The names of what is scored, as in the columns and rows of all score tables."""

SCORES = ("auc_roc", "top1", "cnr", "iou", "miou", "box_iou", "box_miou", "distance")
CONTROLS = ("wrong_word_auc", "specificity", "bare_auc", "wrong_prompt_auc")
METRICS = (*SCORES, *CONTROLS)
LOCATION_PRIOR = "location_prior"  # stands in a variant's place; it needs no model
