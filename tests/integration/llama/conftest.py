from support.llama import llama, shared_llama  # noqa: F401 - fixtures: importing them is what makes them known here
