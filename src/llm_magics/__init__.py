"""Run, load-test and compare LLM inference engines without leaving the notebook."""
