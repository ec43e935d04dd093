#!/bin/bash
# A grid in 8 shards as an array of SLURM. Submit it with the flags of the grid:
#
#   sbatch examples/cluster/slurm.sh --config=mnist --config.data.dir=DATA \
#       --workdir=SHARED/kl --sweep=hparams.kl_weight=0.25,0.5,1,4 --seeds=4
#
# What is missing afterwards, as `report` lists it: sbatch --array=3,5 and the rest as is.
#SBATCH --job-name=vae_jax
#SBATCH --array=0-7
#SBATCH --cpus-per-task=2
#SBATCH --time=04:00:00
#SBATCH --requeue
#SBATCH --open-mode=append
#SBATCH --output=%x-%A_%a.log
# Two minutes before the time limit, to srun's process, which saves a checkpoint.
#SBATCH --signal=TERM@120

# srun does not take it over by itself.
export SRUN_CPUS_PER_TASK=$SLURM_CPUS_PER_TASK
srun python -m experiments.ablate --shard=auto/8 "$@"
status=$?
# It was asked to stop and saved a checkpoint, from which it goes on.
if [ "$status" = 143 ]; then scontrol requeue "$SLURM_JOB_ID"; fi
exit "$status"
