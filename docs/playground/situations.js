/* Five failures: what causes each, what to watch, what cures it, and what the cure does. With `fresh`, the cure needs
 * new networks. tests/web/test_playground.py measures, from three seeds, that each fails and that each is cured. */

const FAILURES = {
  collapse: {
    label: "Mode collapse",
    causes: { latent: 1, width: 8, dRate: 0.03, gRate: 0.001, dSteps: 5 },
    watch:
      "A small generator with a single latent number meets a discriminator that learns five times per step, and far faster. Watch the fakes settle on two or three of the eight clusters and leave the others empty.",
    cure: { latent: 2, width: 32, dRate: 0.003, gRate: 0.003, dSteps: 1 },
    relief:
      "Two latent numbers and wider networks give the generator room, and equal step sizes let it follow. The game starts again, because the networks have another shape.",
    fresh: true,
  },
  hopping: {
    label: "Hopping",
    causes: { dRate: 0.001, gRate: 0.01, beta1: 0.9 },
    watch:
      "The generator is ten times as fast as the discriminator, and momentum carries it on. Watch all fakes gather in one place, leave it when it turns orange, and jump to the next.",
    cure: { dRate: 0.003, gRate: 0.003, beta1: 0 },
    relief:
      "Both players now move equally fast, without momentum. The clump spreads out: no place stays better than the others for long.",
  },
  won: {
    label: "Discriminator wins",
    causes: { data: "cloud", loss: "minimax", dRate: 0.03, gRate: 0.0001, dSteps: 5 },
    watch:
      "The discriminator learns five times per step, and far faster. Watch its loss and the pull on the generator drop to 0: it rejects every fake with such confidence that the minimax gradient vanishes.",
    cure: { loss: "non-saturating", dRate: 0.003, gRate: 0.003, beta1: 0, dSteps: 1, r1: 0.3 },
    relief:
      "With the non-saturating loss, rejected fakes are pulled hardest, so they set off at once. Equal step sizes and R1 keep the discriminator from running away again.",
  },
  oscillation: {
    label: "Oscillation",
    causes: { data: "cloud", beta1: 0.9 },
    watch:
      "Much momentum makes both players overshoot. Watch the fakes swing around the data while the colours turn with them, and neither comes to rest.",
    cure: { beta1: 0, r1: 0.3 },
    relief:
      "Without momentum nobody overshoots, and R1 makes the discriminator flat where the data are. The swings die down within a few hundred steps.",
  },
  divergence: {
    label: "Divergence",
    causes: { loss: "wasserstein", gp: 0, dRate: 0.01, gRate: 0.003, dSteps: 3 },
    watch:
      "A critic without a penalty has no bound. Watch its loss run to hundreds and thousands while it grows ever steeper, and throw the fakes about.",
    cure: { gp: 1, gRate: 0.001 },
    relief:
      "The gradient penalty holds the critic’s slope near 1, so its loss stays small and means something. The game starts again, because weights this large do not come back.",
    fresh: true,
  },
};
