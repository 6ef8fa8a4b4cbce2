"""The command line: click commands, tables, colours.  Decisions are `hubfarm.farm.Farm`'s."""
