"""The file formats of other load testers, a file each: what they wrote becomes a Run, a Run becomes what they write."""
