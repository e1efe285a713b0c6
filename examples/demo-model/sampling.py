"""How answers are drawn unless the user says otherwise: the `general.sampling.*` of the exported file, and what is measured.

An answer of this model is right or wrong as a whole, so unlikely tokens are cut early.
"""

SAMPLING = {"temp": 0.7, "top_k": 40, "top_p": 0.9, "min_p": 0.1, "penalty_repeat": 1.0, "penalty_last_n": 64}
