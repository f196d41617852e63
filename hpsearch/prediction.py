"""The names that a registered model imports, at an address that does not move.

MLflow copies the code of a model beside it, and that copy has to run with later versions too.
"""

from hpsearch.export.predict import load_model as load_model
from hpsearch.export.predict import predict_frame as predict_frame
