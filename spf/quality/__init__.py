"""Clip -> quality: VBench's dimensions, by its own package, in a process of its own.

docs/how-to/score-quality.md says what each dimension needs, and how its scores are stored.
"""

from spf.quality.base import UNKNOWN as UNKNOWN
from spf.quality.base import Conditions as Conditions
from spf.quality.base import NoQuality as NoQuality
from spf.quality.base import Quality as Quality
from spf.quality.base import Score as Score
from spf.quality.weights import DEFAULT_DIMENSIONS as DEFAULT_DIMENSIONS
from spf.quality.weights import VBENCH_DIMENSIONS as VBENCH_DIMENSIONS
from spf.quality.weights import missing_package as missing_package
from spf.quality.weights import missing_weights as missing_weights
