"""Which requests share an engine pass: queue, plan, worker threads."""
