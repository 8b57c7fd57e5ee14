"""The names that an embedding table cannot have, because torch's containers have them already.

A table is a member of a container, and a member cannot be called like one of its methods.
"""

_OF_CONTAINERS = frozenset(
    (
        *("T_destination", "add_module", "apply", "bfloat16", "buffers", "call_super_init"),
        *("children", "clear", "compile", "copy", "cpu", "cuda", "double", "dump_patches", "eval"),
        *("extra_repr", "float", "forward", "fromkeys", "get", "get_buffer", "get_extra_state"),
        *("get_parameter", "get_submodule", "half", "ipu", "items", "keys", "load_state_dict"),
        *("modules", "mtia", "named_buffers", "named_children", "named_modules"),
        *("named_parameters", "parameters", "pop", "popitem", "register_backward_hook"),
        *("register_buffer", "register_forward_hook", "register_forward_pre_hook"),
        *("register_full_backward_hook", "register_full_backward_pre_hook"),
        *("register_load_state_dict_post_hook", "register_load_state_dict_pre_hook"),
        *("register_module", "register_parameter", "register_state_dict_post_hook"),
        *("register_state_dict_pre_hook", "requires_grad_", "set_extra_state", "set_submodule"),
        *("setdefault", "share_memory", "state_dict", "to", "to_empty", "train", "training"),
        *("type", "update", "values", "xpu", "zero_grad"),
    )
)


def is_reserved(table: str) -> bool:
    """Return whether an embedding table cannot have this name."""
    return table.startswith("_") or table in _OF_CONTAINERS
