"""Results printed in the main table of "Test-time optimization inside training" (NeurIPS 2024), in mm.

The authors quote each method's best result; the Human3.6M columns mix protocols (joints regressed from fitted meshes,
and motion capture joints). They are only listed beside ours at the paper's scale.
"""

__all__ = ["PAPER_RESULTS"]

_TABLE = """
EFT (3DV 2021)            | 85.1 52.2 98.7 | 63.2 43.8
CLIFF (ECCV 2022)         | 69.0 43.0 81.2 | 47.1 32.7
LearnSample (CVPR 2022)   | 70.5 43.3 82.7 | 45.9 33.5
ProPose (CVPR 2023)       | 68.3 40.6 79.4 | 45.7 29.1
POTTER (CVPR 2023)        | 75.0 44.8 87.4 | 56.5 35.1
DeFormer (CVPR 2023)      | 72.9 44.3 82.6 | 44.8 31.6
NIKI (CVPR 2023)          | 71.3 40.6 86.6 | - -
ReFit (ICCV 2023)         | 65.8 41.0 -    | 48.4 32.2
PLIKS (CVPR 2023)         | 66.9 42.8 82.6 | 49.3 34.7
Dual, HRNet-W48, OpenPose | 62.9 39.7 80.1 | 43.9 30.3
Dual, HRNet-W48, RSN      | 62.4 39.5 78.1 | 42.0 29.1
"""

_COLUMNS = {"3dpw": ("mpjpe", "pa_mpjpe", "pve"), "h36m": ("mpjpe", "pa_mpjpe")}


def _read() -> dict[str, dict[str, dict[str, float]]]:
    results: dict[str, dict[str, dict[str, float]]] = {}
    for line in _TABLE.strip().splitlines():
        label, *groups = (part.strip() for part in line.split("|"))
        results[label] = {
            name: {key: float(v) for key, v in zip(keys, group.split(), strict=True) if v != "-"}
            for (name, keys), group in zip(_COLUMNS.items(), groups, strict=True)
        }
    return results


#: Method → data set → error → mm.
PAPER_RESULTS = _read()
