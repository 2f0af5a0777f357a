"""The diffusion core: schedules, processes, one reverse step, samplers, consistency."""
