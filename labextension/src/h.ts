// What JSX becomes. By this name a bundler shortens it, which `React.createElement`, two hundred times over, it cannot.
import * as React from 'react';

export const h = React.createElement;
export const Fragment = React.Fragment;
