"""gan_tf: generative adversarial networks in TensorFlow and Keras, small enough to be read in one sitting."""

import os

from gan_tf.common.quiet import silence_tensorflow
from gan_tf.pretrained import load_pretrained as load_pretrained

__version__ = "0.1.0"

# Whatever the environment or ~/.keras/keras.json says: the training step is written in TensorFlow.
os.environ["KERAS_BACKEND"] = "tensorflow"

silence_tensorflow()
