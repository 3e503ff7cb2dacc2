// What one turns and types beside the planes.

import { make, number, setText } from '../dom.js';

/** A slider with its name and its value; `change` is called with the value. */
export class Slider {
  constructor(id, name, change) {
    this.input = make('input', { id, type: 'range', min: 0, max: 0, value: 0, step: 1 });
    this.output = make('output', { for: id, class: 'number soft' });
    this.element = make('div', { class: 'slider' }, make('div', { class: 'head' }, make('label', { for: id }, name), this.output), this.input);
    this.input.addEventListener('input', () => { this.#write(); change(this.value); });
  }

  get value() { return Number(this.input.value); }

  get max() { return Number(this.input.max); }

  set(value, max = Number(this.input.max)) {
    this.input.max = max;
    this.input.value = value;
    this.element.hidden = max === 0;
    this.#write();
  }

  step(by) {
    this.input.value = this.value + by;
    this.input.dispatchEvent(new Event('input'));
  }

  #write() { this.output.textContent = `${this.input.value} / ${this.input.max}`; }
}

/**
 * A number to type. `change` is called when it makes sense; what is wrong with it is said below, and until it is right the
 * last number that was counts. `limits` has `min` and `max` (both allowed), or `above` (not allowed), in numbers.
 */
export class NumberField {
  #value = 0;

  constructor(id, name, change, limits = {}, step = 'any') {
    this.limits = limits;
    this.input = make('input', { id, type: 'number', step, min: limits.min ?? limits.above, max: limits.max, 'aria-describedby': `${id}-problem` });
    this.problem = make('small', { id: `${id}-problem`, class: 'problem', role: 'alert' });
    this.element = make('div', { class: 'field' }, make('label', { for: id }, name), this.input, this.problem);
    this.input.addEventListener('input', () => {
      const problem = this.#problemOf();
      this.complain(problem);
      if (problem) return;
      this.#value = Number(this.input.value);
      change();
    });
  }

  get value() { return this.#value; }

  set value(value) {
    this.#value = value;
    this.input.value = number(value);
    this.complain('');
  }

  /** Say what is wrong with what was typed; nothing: all is well. */
  complain(problem) {
    setText(this.problem, problem);
    this.input.toggleAttribute('aria-invalid', problem !== '');
    if (problem) this.input.setAttribute('aria-invalid', 'true');
  }

  #problemOf() {
    const { min, max, above } = this.limits, value = Number(this.input.value);
    if (this.input.value === '' || !Number.isFinite(value)) return `Enter a number. Still using ${number(this.#value)}.`;
    if (above !== undefined && max !== undefined && (value <= above || value > max)) return this.#expected(`above ${above}, up to ${max}`);
    if (above !== undefined && value <= above) return this.#expected(`above ${above}`);
    if ((min !== undefined && value < min) || (max !== undefined && value > max)) return this.#expected(`from ${min} to ${max}`);
    return '';
  }

  #expected(range) { return `Expected ${range}. Still using ${number(this.#value)}.`; }
}

/** A box to tick, with the key that ticks it. */
export class Toggle {
  constructor(id, name, key, isOn, change) {
    this.input = make('input', { id, type: 'checkbox', 'aria-keyshortcuts': key || undefined });
    this.input.checked = isOn;
    this.element = make('label', { class: 'check', for: id }, this.input, name);
    this.input.addEventListener('change', change);
  }

  get isOn() { return this.input.checked; }

  flip() { this.input.click(); }
}

/** A list to choose from; `options` are values and their names. */
export class Choice {
  constructor(id, name, options, change, key) {
    this.input = make('select', { id, 'aria-keyshortcuts': key }, ...options.map(([value, text]) => make('option', { value }, text)));
    this.element = make('label', { class: 'choice', for: id }, name, this.input);
    this.input.addEventListener('change', change);
  }

  get value() { return this.input.value; }

  /** Go to the next one, from the last to the first. */
  next() {
    this.input.selectedIndex = (this.input.selectedIndex + 1) % this.input.options.length;
    this.input.dispatchEvent(new Event('change'));
  }
}

export function group(name, ...children) {
  return make('fieldset', {}, make('legend', {}, name), ...children);
}
