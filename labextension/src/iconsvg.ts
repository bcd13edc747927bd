// Three machines in a rack, the middle one at work; inline, so that no loader for SVG is needed.
export default `<svg xmlns="http://www.w3.org/2000/svg" width="16" viewBox="0 0 24 24">
  <g class="jp-icon3 jp-icon-selectable" fill="#616161">
    <path d="M4 3h16a1 1 0 0 1 1 1v4a1 1 0 0 1-1 1H4a1 1 0 0 1-1-1V4a1 1 0 0 1 1-1zm2 2v2h2V5zm5 .5v1h8v-1z" fill-rule="evenodd"/>
    <path d="M4 10h9l-1.5 5H4a1 1 0 0 1-1-1v-3a1 1 0 0 1 1-1zm2 1.5v2h2v-2z" fill-rule="evenodd"/>
    <path d="M16.5 9.500 13 15.500h2.500L14.500 21 20 13.500h-3l1.500-4z"/>
    <path d="M4 16h8.500v5H4a1 1 0 0 1-1-1v-3a1 1 0 0 1 1-1zm2 1.500v2h2v-2z" fill-rule="evenodd"/>
  </g>
</svg>`;
