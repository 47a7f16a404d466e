"""What is wrong with the live data and the bundle, in words, with the number and the remedy.

    gathering ─▶ facts ─▶ findings, one small function each ─▶ checkup

`facts` are plain data: what is counted of items, events, the bundle and the service. A finding is a
function of facts and of nothing else. `gathering` counts, for a service that runs and for the
command alike.
"""
