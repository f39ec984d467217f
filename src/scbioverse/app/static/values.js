// Arrays as they travel, and values as colours.
const KINDS = { f4: Float32Array, i4: Int32Array };
// Viridis at nine points (matplotlib's, CC0), which grey print and colour blindness leave in order.
const RAMP = ["#440154", "#472d7b", "#3b528b", "#2c728e", "#21918c", "#28ae80", "#5ec962", "#addc30", "#fde725"];

export function unpacked({ dtype, base64 }) {
  const text = atob(base64);
  const bytes = new Uint8Array(text.length);
  for (let i = 0; i < text.length; i++) bytes[i] = text.charCodeAt(i);
  return new KINDS[dtype](bytes.buffer);
}

export function bits(selected) {
  const bytes = new Uint8Array(Math.ceil(selected.length / 8));
  for (let i = 0; i < selected.length; i++) if (selected[i]) bytes[i >> 3] |= 128 >> (i & 7);
  let text = "";
  for (let i = 0; i < bytes.length; i += 4096) text += String.fromCharCode(...bytes.subarray(i, i + 4096));
  return btoa(text);
}

export function packed(colour) {
  const [r, g, b] = [1, 3, 5].map((at) => parseInt(colour.slice(at, at + 2), 16));
  return (b << 16) | (g << 8) | r;
}

export function ramp(n) {
  const at = (i, shift) => parseInt(RAMP[i].slice(shift, shift + 2), 16);
  return Uint32Array.from({ length: n }, (_, k) => {
    const place = ((RAMP.length - 1) * k) / (n - 1);
    const i = Math.min(RAMP.length - 2, Math.floor(place));
    const [r, g, b] = [1, 3, 5].map((shift) =>
      Math.round(at(i, shift) + (at(i + 1, shift) - at(i, shift)) * (place - i)),
    );
    return (b << 16) | (g << 8) | r;
  });
}

export function bounds(values, gene) {
  const held = values.filter((value) => !Number.isNaN(value) && (!gene || value > 0)).sort();
  if (!held.length) return [0, 1];
  return gene ? [0, held[Math.floor(0.99 * (held.length - 1))]] : [held[0], held[held.length - 1]];
}
