"""Runs as child processes: started, followed, cancelled, and found again by a later napari.

    job = jobs.start("Train on breast", config_toml, sections=[breast])
    events, position = job.events(0)        # what is new since; again and again, on a timer
    job.state()                             # running, done, failed, cancelled, lost
    job.cancel()
    jobs.running()                          # also those that an earlier napari left running

A job is a folder (`job.py`); the child is `pixelgene run CONFIG --progress json`, and its output goes to files there
and not into pipes, so that it outlives who started it. What a run makes arrives in the section store; nothing
of it is kept here.
"""

from napari_pixelgene.jobs.folder import all_jobs as all
from napari_pixelgene.jobs.folder import find, forget, home, running, working_on
from napari_pixelgene.jobs.job import Fault, Job, State
from napari_pixelgene.jobs.starting import start

__all__ = ["Fault", "Job", "State", "all", "find", "forget", "home", "running", "start", "working_on"]
