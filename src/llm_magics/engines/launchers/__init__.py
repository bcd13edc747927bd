"""Programs that become an engine's server process; run by file path, by the Python that has the engine.

They are no part of what the kernel imports and import nothing of ours: the engine's environment need not have
llm_magics. A folder of their own, because a script's folder comes first on `sys.path` and our adapters are called
like the packages they describe.
"""
