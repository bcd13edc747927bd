// What the sidebars of JupyterLab and VS Code show, and in which words. No front end is imported here.
export * from './engines';
export * from './feed';
export * from './model';
export * from './path';
export * from './rates';
export * from './refused';
export * from './snippets';
export * from './types';
export * from './words';
