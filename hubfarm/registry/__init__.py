"""What a farm shares on disk: lock files, guards, stable names, the state table.

Every process learns the farm's state here; none has to ask a busy hub.
"""
