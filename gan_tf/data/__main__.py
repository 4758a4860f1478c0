"""List the data sets: python -m gan_tf.data"""

from gan_tf.data.registry import main

main()
