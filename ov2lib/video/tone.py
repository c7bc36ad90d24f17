"""High dynamic range as an ordinary picture shows it: PQ and HLG of BT.2100 to BT.709, by tables of integers.

A plain decode of such a video looks grey and washed out, since its code values mean other amounts of light. Integers make
the result the same on every processor.
"""

from functools import lru_cache

import numpy as np

TRANSFERS = {16: "PQ", 18: "HLG"}  # FFmpeg's AVColorTransferCharacteristic
WHITE, PEAK = 203.0, 1000.0  # cd/m²: of paper (published: BT.2408), and of the brightest highlight (assumed)
UNITS = 1 << 20  # of light up to the peak: fine enough for the darkest levels
TO_BT709 = np.array([[1700, -602, -74], [-128, 1160, -8], [-19, -103, 1146]], np.int32)  # published: BT.2087, times 1024


def to_sdr(rgb: np.ndarray, transfer: str) -> np.ndarray:
    """A picture uint8 [H, W, 3] coded by PQ or HLG with the primaries of BT.2020, as BT.709 shows it; uint8 [H, W, 3]."""
    light, code = _tables(transfer)
    red, green, blue = np.moveaxis(light[rgb], -1, 0)
    mixed = [np.clip(a * red + b * green + c * blue, 0, UNITS << 10) >> 10 for a, b, c in TO_BT709]
    return code[np.stack(mixed, axis=-1)]


@lru_cache(maxsize=2)
def _tables(transfer: str) -> tuple[np.ndarray, np.ndarray]:
    """Light int32 [256] of each code value, and uint8 [UNITS + 1], the code value of each amount of light."""
    # 1. The light of each code value
    coded = np.arange(256) / 255
    if transfer == "PQ":
        light = np.minimum(_pq_light(coded), PEAK)
    else:  # BT.2100's curve, and its system gamma of 1.2 for this peak, of each primary alone
        a, b, c = 0.17883277, 0.28466892, 0.55991073
        light = PEAK * np.where(coded <= 0.5, coded**2 / 3, (np.exp((coded - c) / a) + b) / 12) ** 1.2
    # 2. What an ordinary screen shows of each amount of light
    shown = _pq_light(_roll_off(_pq_code(np.linspace(0, PEAK, UNITS + 1)))) / WHITE
    code = np.rint(255 * np.clip(shown, 0, 1) ** (1 / 2.4)).astype(np.uint8)
    return np.rint(light * (UNITS / PEAK)).clip(0, UNITS).astype(np.int32), code


def _roll_off(code: np.ndarray) -> np.ndarray:
    """Bend PQ code values between 0 and the peak so that the peak becomes `WHITE` (published: BT.2390, section 5.4.1)."""
    source, target = _pq_code(PEAK), _pq_code(WHITE)
    x, top = code / source, target / source
    knee = 1.5 * top - 0.5
    t = np.maximum((x - knee) / (1 - knee), 0)
    bent = (2 * t**3 - 3 * t**2 + 1) * knee + (t**3 - 2 * t**2 + t) * (1 - knee) + (3 * t**2 - 2 * t**3) * top
    return source * np.where(x < knee, x, bent)


M1, M2, C1, C2, C3 = 0.1593017578125, 78.84375, 0.8359375, 18.8515625, 18.6875  # published: SMPTE ST 2084


def _pq_light(code):
    """cd/m² of PQ code values 0 to 1."""
    root = np.asarray(code) ** (1 / M2)
    return 10_000 * (np.maximum(root - C1, 0) / (C2 - C3 * root)) ** (1 / M1)


def _pq_code(light):
    """PQ code values 0 to 1 of cd/m²."""
    part = (np.asarray(light) / 10_000) ** M1
    return ((C1 + C2 * part) / (1 + C3 * part)) ** M2
