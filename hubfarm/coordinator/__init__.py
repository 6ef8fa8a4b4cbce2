"""The coordinator: forks hubs, watches them, ends them, and answers on a control socket."""
