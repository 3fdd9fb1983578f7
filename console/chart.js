// Live chart: two lines over the last five minutes, on a logarithmic scale, since
// relevant differences of latency are factors of ten.

/** Number of samples: five minutes with one every two seconds. */
const SAMPLES = 150;

export class Chart {
  #samples = [];

  constructor(canvas) {
    this.canvas = canvas;
    new ResizeObserver(() => this.draw()).observe(canvas);
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => this.draw());
  }

  /** Adds a sample in seconds; undefined if there was no measurement. */
  add(p50, p99) {
    this.#samples.push([p50, p99]);
    if (this.#samples.length > SAMPLES) this.#samples.shift();
    this.draw();
  }

  draw() {
    const { canvas } = this;
    const scale = devicePixelRatio;
    const [width, height] = [canvas.clientWidth, canvas.clientHeight];
    canvas.width = width * scale;
    canvas.height = height * scale;
    const context = canvas.getContext("2d");
    context.scale(scale, scale);
    const style = getComputedStyle(canvas);
    const colour = (name) => resolved(canvas, name);
    context.font = `11px ${style.fontFamily}`;
    const plot = { left: 52, top: 8, right: width - 4, bottom: height - 20 };
    const [low, high] = this.#decades();
    const y = (seconds) => {
      const part = (Math.log10(seconds) - low) / (high - low);
      return plot.bottom - Math.min(1, Math.max(0, part)) * (plot.bottom - plot.top);
    };
    const x = (index) => plot.right - ((this.#samples.length - 1 - index) / (SAMPLES - 1)) * (plot.right - plot.left);
    this.#drawGrid(context, plot, { low, high, y, line: colour("--line"), text: colour("--muted") });
    [colour("--accent"), colour("--p99")].forEach((stroke, series) => {
      this.#drawLine(context, series, { x, y, stroke });
    });
  }

  /** The range of the scale in whole powers of ten; at least two. */
  #decades() {
    const all = this.#samples.flat().filter((value) => value > 0);
    if (!all.length) return [-5, -2];
    const low = Math.floor(Math.log10(Math.min(...all)));
    return [low, Math.max(low + 2, Math.ceil(Math.log10(Math.max(...all)) + 1e-9))];
  }

  #drawGrid(context, plot, { low, high, y, line, text }) {
    context.lineWidth = 1;
    context.textBaseline = "middle";
    for (let power = low; power <= high; power += 1) {
      const at = Math.round(y(10 ** power)) + 0.5;
      context.strokeStyle = line;
      context.beginPath();
      context.moveTo(plot.left, at);
      context.lineTo(plot.right, at);
      context.stroke();
      context.fillStyle = text;
      context.textAlign = "right";
      context.fillText(duration(10 ** power), plot.left - 8, at);
    }
    context.textBaseline = "bottom";
    const labels = [[plot.left, "left", "5 min ago"], [plot.right, "right", "now"]];
    for (const [at, align, label] of labels) {
      context.textAlign = align;
      context.fillText(label, at, plot.bottom + 20);
    }
  }

  #drawLine(context, series, { x, y, stroke }) {
    context.strokeStyle = context.fillStyle = stroke;
    context.lineWidth = 1.5;
    context.lineJoin = "round";
    context.beginPath();
    let last;
    this.#samples.forEach((sample, index) => {
      const value = sample[series];
      if (!(value > 0)) return;
      const isNext = last === index - 1;
      context[isNext ? "lineTo" : "moveTo"](x(index), y(value));
      // A single sample would be invisible as a line.
      if (!isNext && !(this.#samples[index + 1]?.[series] > 0)) context.arc(x(index), y(value), 1, 0, 7);
      last = index;
    });
    context.stroke();
  }
}

/** A colour of the theme; only the style of an element resolves light-dark(). */
function resolved(canvas, name) {
  canvas.style.color = `var(${name})`;
  const { color } = getComputedStyle(canvas);
  canvas.style.color = "";
  return color;
}

/** Seconds as readable text. */
export function duration(seconds) {
  if (!(seconds > 0)) return "–";
  if (seconds < 1e-3) return `${short(seconds * 1e6)} µs`;
  if (seconds < 1) return `${short(seconds * 1e3)} ms`;
  return `${short(seconds)} s`;
}

function short(value) {
  return value < 10 ? String(Math.round(value * 10) / 10) : String(Math.round(value));
}
