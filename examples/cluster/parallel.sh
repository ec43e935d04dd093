#!/bin/bash
# A grid in 8 shards with GNU parallel, two at a time. Give it the flags of the grid:
#
#   bash examples/cluster/parallel.sh --config=mnist --config.data.dir=DATA \
#       --workdir=SHARED/kl --sweep=hparams.kl_weight=0.25,0.5,1,4 --seeds=4
#
# On other hosts that share the disk: export PARALLEL="--sshloginfile hosts --workdir ."
# The same command again goes on with the shards that failed or were stopped.
seq 0 7 | parallel --jobs 2 --joblog parallel.log --resume-failed --line-buffer --tag \
    --quote python -m experiments.ablate --shard={}/8 "$@"
