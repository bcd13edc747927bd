import js from '@eslint/js';
import ts from 'typescript-eslint';

export default ts.config(js.configs.recommended, ...ts.configs.recommended, {
  files: ['labextension/**/*.{ts,tsx}', 'packages/**/*.ts', 'vscode/**/*.ts'],
  languageOptions: { parserOptions: { jsxPragma: 'h', jsxFragmentName: 'Fragment' } },
  rules: {
    '@typescript-eslint/no-explicit-any': 'off',
    '@typescript-eslint/naming-convention': [
      'error',
      { selector: 'interface', format: ['PascalCase'], custom: { regex: '^I[A-Z]', match: true } }
    ],
    curly: ['error', 'all'],
    eqeqeq: 'error',
    'no-undef': 'off'
  }
});
