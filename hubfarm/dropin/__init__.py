"""In place of ``astropy.samp`` and ``pyvo.samp``, down to their modules.

The classes are those of the rooms below; here is where programs look for them (`hubfarm.dropin.layout`), and the few
names that only those programs ask for.  Nothing below may know of it.
"""
