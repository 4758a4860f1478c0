"""gan_tf: generative adversarial networks in TensorFlow and Keras, small enough to be read in one sitting."""

import os

__version__ = "0.1.0"

# Whatever the environment or ~/.keras/keras.json says: the train step is TensorFlow's.
os.environ["KERAS_BACKEND"] = "tensorflow"
