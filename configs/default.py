"""Every field with its default; the other configs start from this one.

Command: `python -m experiments.train --config=configs/default.py --workdir=DIR`
trains on scikit-learn's handwritten digits (8x8), which need no download. Source, run
time and expected result: those of configs/digits.py.

A part of a model, an objective and an optimiser are chosen by their names. What only
one of them needs stands in a section of that name, and its numbers have no effect where
another one is chosen.
"""

from ml_collections import ConfigDict, FieldReference


def get_config() -> ConfigDict:
    """All fields; lengths are in steps, sizes in numbers, KL in nats."""
    config = ConfigDict()
    config.seed = 0  # initialisation and latent noise
    config.imports = ()  # modules with parts of your own; --import=NAME fills it

    # Traced: runs that differ in these numbers and the seed only are members of one
    # compiled program. Anything else makes another program.
    config.hparams = ConfigDict()
    config.hparams.kl_weight = 1.0  # of the KL term, the beta of papers
    config.hparams.learning_rate = 1e-3  # the highest, where it has a schedule
    config.hparams.warmup_steps = 0  # length of the rise of objective.schedule
    config.hparams.free_nats = 0.0  # elbo: free KL per latent dimension
    config.hparams.free_nats_per_layer = 0.0  # elbo: free KL per latent layer
    config.hparams.capacity = 0.0  # capacity: the KL to hold
    # beta_tc, factor: weight of the total correlation, on top of that in the KL term.
    config.hparams.tc_weight = 0.0
    config.hparams.covariance_weight = 0.0  # dip_i, dip_ii: of the covariance penalty
    config.hparams.mmd_weight = 0.0  # mmd: of the distance of all codes from the prior
    config.hparams.code_weight = 0.0  # regularized: of half the squared code
    config.hparams.gradient_weight = 0.0  # regularized: of the decoder's squared slope
    # quantized: of the distance of vectors from their codes
    config.hparams.commitment_weight = 0.0
    # quantized: of the entropy penalty that keeps all codes in use
    config.hparams.entropy_weight = 0.0
    config.hparams.classification_weight = 0.0  # semi_supervised: of log q(y | x)

    config.data = ConfigDict()
    # digits, mnist_5k, dsprites, xysquares, npz:PATH, folder:PATH or a TFDS name
    config.data.name = "digits"
    config.data.dir = ""  # where TFDS keeps its sets; empty: TFDS's default
    config.data.seed = 0  # splits, order of batches, binarisation draws
    config.data.batch_size = 128  # images of a training step
    # Of a model that is given labels: so many training images keep theirs, as many of
    # each class, drawn with data.seed; 0: all that have one.
    config.data.num_labelled = 0
    # So many rows of each batch are labelled ones, which come first, and the others
    # unlabelled ones; 0: batches are drawn from all images alike.
    config.data.labelled_batch_size = 0
    config.data.binarize = "dynamic"  # none, threshold or dynamic
    config.data.dequantize = False  # add uniform noise of one 8-bit level
    config.data.validation_fraction = 0.1  # where the source has no such split
    config.data.test_fraction = 0.1  # where the source has no such split
    # folder:, TFDS: cut to this aspect in the centre, then resized; 28, or height,width
    # as 40,80; 0: unchanged.
    config.data.image_size = FieldReference(0, field_type=object)  # one number or two
    config.data.grayscale = False  # turn colours into grey
    # Training images that a device may hold, in 10^6 bytes; a larger set is streamed.
    config.data.device_budget_mb = 4096.0

    config.model = ConfigDict()
    # vae, rae; with several latent layers: hierarchical, ladder, top_down; with the
    # class as a latent variable: m2
    config.model.name = "vae"
    config.model.network = "mlp"  # mlp, gated, conv or residual
    # diagonal_normal, coupling_flow, or deterministic: an autoencoder; discrete codes:
    # fsq, vq or lfq, with the prior uniform
    config.model.posterior = "diagonal_normal"
    # standard_normal, mixture, vamp or uniform; with a condition also label_normal, a
    # normal for each label
    config.model.prior = "standard_normal"
    # bernoulli, continuous_bernoulli, normal, laplace, logistic or logistic_mixture
    config.model.likelihood = "bernoulli"
    # none, or label: encoder, decoder and the prior label_normal are given the label of
    # each image (vae only)
    config.model.condition = "none"
    config.model.latent_dim = 16  # size of the code next to the data
    # gelu, relu, leaky_relu, tanh, silu, elu or softplus
    config.model.activation = "gelu"
    config.model.dtype = "float32"  # or bfloat16; number type of the networks' layers

    config.hierarchical = ConfigDict()
    config.hierarchical.latent_dims = (8,)  # sizes of the latent layers above the first
    config.hierarchical.hidden_dims = (100, 100)  # widths between latent layers

    config.ladder = ConfigDict()
    config.ladder.latent_dims = (8,)  # sizes of the latent layers above the first
    config.ladder.hidden_dims = (100,)  # for each of them, width of the network below
    config.ladder.num_hidden = 2  # dense layers of each of these networks
    config.ladder.norm = "none"  # none, layer or batch

    # Blocks of latent maps from the top, RESOLUTIONxCOUNT; model.latent_dim is then the
    # number of channels of each map. The last resolution divides the side of an image.
    config.top_down = ConfigDict()
    config.top_down.blocks = "1x1,2x1,4x1"  # RESOLUTIONxCOUNT,...
    config.top_down.width = 32  # channels of the features
    config.top_down.bottleneck = 0.25  # channels inside a block, share of the width

    config.m2 = ConfigDict()
    config.m2.hidden_dims = (256,)  # widths from features and class to the code

    config.mlp = ConfigDict()
    config.mlp.hidden_dims = (256, 128)  # widths, data to code
    config.mlp.norm = "none"  # none, layer or batch
    config.gated = ConfigDict()
    config.gated.hidden_dims = (256, 128)  # widths, data to code
    config.conv = ConfigDict()
    config.conv.channels = (32, 64)  # of layers that each halve the image
    config.conv.hidden_dim = 256  # width of the dense layer next to the code

    config.residual = ConfigDict()
    config.residual.channels = (64, 128)  # of layers that each halve the image
    config.residual.num_blocks = (2, 2)  # residual blocks after each halving
    # width of the dense layer next to the code; of no effect with spatial
    config.residual.hidden_dim = 256
    config.residual.attention = False  # whether places of the smallest one attend
    config.residual.spatial = False  # whether each such place is a site of the code

    config.coupling_flow = ConfigDict()
    config.coupling_flow.num_layers = 4  # couplings
    config.coupling_flow.hidden_dim = 100  # width of their networks

    # Discrete codes: one at each of num_sites sites, or at each place of features that
    # have places (residual.spatial).
    config.fsq = ConfigDict()
    config.fsq.levels = (8, 5, 5, 5)  # of each number of a code; 1,000 codes
    config.fsq.num_sites = 16  # codes of an image
    config.vq = ConfigDict()
    config.vq.num_codes = 256  # in the codebook
    config.vq.code_dim = 8  # numbers of a code
    config.vq.num_sites = 16  # codes of an image
    config.vq.decay = 0.99  # of the averages that codes are made of
    config.vq.num_start_steps = 10  # of k-means, without averages
    config.vq.dead_share = 0.1  # of the mean use of codes; one used less is replaced
    config.lfq = ConfigDict()
    config.lfq.num_bits = 8  # of a code; 256 codes
    config.lfq.num_sites = 16  # codes of an image

    config.mixture = ConfigDict()
    config.mixture.num_components = 500  # normals of the prior
    config.vamp = ConfigDict()
    config.vamp.num_components = 500  # number of pseudo-inputs

    config.normal = ConfigDict()
    config.normal.scale = "learned"  # fixed, learned, per_pixel or optimal
    config.normal.scale_value = 1.0  # the fixed scale, or where the learned one starts
    config.laplace = ConfigDict()
    config.laplace.scale = "learned"  # fixed, learned or per_pixel
    config.laplace.scale_value = 1.0  # the fixed scale, or where the learned one starts
    config.logistic_mixture = ConfigDict()
    config.logistic_mixture.num_components = 10  # logistics of each pixel

    config.objective = ConfigDict()
    # elbo, capacity, elbo_mc, stl, iwae, dreg, miwae, piwae, ciwae, renyi, beta_tc,
    # factor, dip_i, dip_ii, mmd, regularized (with model.name=rae), quantized (with
    # discrete codes) or semi_supervised (with model.name=m2)
    config.objective.name = "elbo"
    config.objective.num_samples = 1  # draws of the code per image, K
    # Schedule of the KL weight, or of the capacity: constant, linear, sigmoid or
    # cyclical.
    config.objective.schedule = "constant"

    config.miwae = ConfigDict()
    config.miwae.num_groups = 1  # M groups of K / M samples
    config.piwae = ConfigDict()
    config.piwae.num_groups = 1  # M groups of K / M samples, for the encoder
    config.ciwae = ConfigDict()
    config.ciwae.elbo_share = 0.5  # share of the ELBO, beta in the paper
    config.renyi = ConfigDict()
    config.renyi.alpha = 0.5  # order of the divergence; at 1 the ELBO, at 0 IWAE
    config.factor = ConfigDict()  # the critic of codes
    config.factor.hidden_dim = 1000  # width of its layers
    config.factor.num_hidden = 5  # hidden layers
    config.factor.learning_rate = 1e-4  # of the critic; not traced
    config.dip_i = ConfigDict()
    config.dip_i.diagonal_ratio = 10.0  # weight of the variances, over covariances'
    config.dip_ii = ConfigDict()
    config.dip_ii.diagonal_ratio = 1.0  # weight of the variances, over covariances'
    config.quantized = ConfigDict()
    config.quantized.inverse_temperature = 1.0  # of the entropy penalty's assignments
    config.quantized.diversity = 1.0  # share of the second entropy, gamma in the paper

    config.optimizer = ConfigDict()
    config.optimizer.name = "adam"  # adam, adamw or sgd
    # Schedule of the learning rate: constant, cosine (to zero over num_steps) or
    # stages (Burda et al. 2016).
    config.optimizer.schedule = "constant"
    config.optimizer.b1 = 0.9  # decay of Adam's first moment
    config.optimizer.b2 = 0.999  # decay of Adam's second moment
    config.optimizer.eps = 1e-8  # added to the root of the second moment
    config.optimizer.second_moment = 0.0  # where Adam's second moment starts
    config.optimizer.normalize = False  # divide each parameter's gradient by its norm
    config.optimizer.clip_norm = 0.0  # largest norm of the gradient; 0: no limit
    # Leave out an update whose gradient has a larger norm, or one that is not finite;
    # 0: none is left out.
    config.optimizer.skip_norm = 0.0
    config.optimizer.ema_decay = 0.0  # decay of the parameters' average; 0: none

    config.adamw = ConfigDict()
    config.adamw.weight_decay = 1e-4  # times the learning rate, in each step

    config.train = ConfigDict()
    config.train.num_steps = 3_000  # batches to train on
    config.train.log_every = 100  # steps between two lines of metrics.jsonl
    config.train.eval_every = 1_000  # on the validation split; 0: never
    config.train.checkpoint_every = 1_000  # 0: only at the end
    config.train.max_to_keep = 2  # number of checkpoints to keep
    # Keep the parameters of the best validation ELBO, and evaluate those at the end.
    config.train.keep_best = False
    # Stop after so many evaluations without a better one, and keep the best; 0: never.
    config.train.patience = 0
    # Programs that people watch runs with, beside metrics.jsonl: tensorboard, wandb,
    # mlflow, trackio, several of them or none. docs/trackers.md
    config.train.trackers = ("tensorboard",)
    config.train.init_from = ""  # workdir of a run whose parameters to start from

    config.eval = ConfigDict()
    config.eval.num_samples = 100  # K of the importance-weighted NLL
    # What is measured: likelihood, codes, regularity, conditional (of models that are
    # given a label), codebook (of discrete codes), classification (of m2),
    # disentanglement (of data with factors), misleading, annealing (slow).
    config.eval.measures = ("likelihood", "codes", "regularity")
    config.eval.figures = True  # draw WORKDIR/figures/
    return config.lock()  # a typo in another config is an error
