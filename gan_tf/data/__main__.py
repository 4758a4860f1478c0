"""List the data sets: python -m gan_tf.data"""

from gan_tf.common.errors import exit_on_input_error
from gan_tf.data.registry import main

with exit_on_input_error():
    main()
