"""The generator that ships with the project; see README.md beside this file.

`sampling` loads torch and diffusers, so it is imported only where a clip is generated.
"""
