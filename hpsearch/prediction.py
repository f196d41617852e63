"""The names that a registered model imports; this module keeps its name in every version.

MLflow stores a copy of a model's code with it, and that copy has to run with later versions too.
"""

from hpsearch.export.predict import load_model as load_model
from hpsearch.export.predict import predict_frame as predict_frame
