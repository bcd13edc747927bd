// Plotly's own script, of the Python package, given what a saved notebook holds: as the Jupyter extension's renderer does.
import './plotly.min.js';

export const activate = () => ({
  renderOutputItem(item, element) {
    const { data, layout, config } = item.json();
    element.style.height = `${layout.height ?? 450}px`;
    globalThis.Plotly.newPlot(element, data, layout, config);
  }
});
