from gan_tf.config import Config
from gan_tf.run.card import licence, origin


def test_a_data_set_that_gan_tf_does_not_know_is_somebodys_own():
    for dataset in ("/home/somebody/pictures", "a set of another gan_tf"):
        config = Config(dataset=dataset)
        assert licence(config) == "unknown"
        assert "a folder of 1,000 pictures, whose licence gan_tf does not know" in origin(config, 1000)
    assert licence(Config(dataset="mnist")) == "cc-by-sa-3.0"
