// Every word of the sidebar goes through Lab's translator: none stands in the page as it was written.
import { readdirSync, readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import ts from 'typescript';
import { expect, test } from 'vitest';

const SOURCE = fileURLToPath(new URL('../src/', import.meta.url));
/** Attributes and fields that a reader sees or hears. */
const READ = ['title', 'label', 'aria-label', 'placeholder', 'body', 'caption', 'category', 'shutdownLabel'];
const WORD = /(?!GPU\b)\b\p{L}{2}/u; // GPU is one in every language

/** The texts of a file that no translator sees. */
function untranslated(text: string): string[] {
  const file = ts.createSourceFile('a.tsx', text, ts.ScriptTarget.Latest, true, ts.ScriptKind.TSX);
  const found: string[] = [];
  const literal = (node: ts.Node | undefined): void => {
    if (!node) {
      return;
    }
    if (ts.isStringLiteralLike(node) || ts.isTemplateHead(node) || ts.isTemplateMiddleOrTemplateTail(node)) {
      if (WORD.test(node.text)) {
        found.push(node.text);
      }
    } else if (!ts.isCallExpression(node) && !ts.isFunctionLike(node)) {
      ts.forEachChild(node, literal);
    }
  };
  const visit = (node: ts.Node): void => {
    if (ts.isJsxText(node) && WORD.test(node.text)) {
      found.push(node.text.trim());
    } else if (ts.isJsxAttribute(node) && READ.includes(node.name.getText())) {
      literal(node.initializer);
    } else if (ts.isPropertyAssignment(node) && READ.includes(node.name.getText())) {
      literal(node.initializer);
    } else if (ts.isNewExpression(node) && node.expression.getText() === 'Refused') {
      node.arguments?.forEach(literal);
    } else if (ts.isJsxExpression(node) && node.parent && !ts.isJsxAttribute(node.parent) && node.expression) {
      if (ts.isStringLiteralLike(node.expression) || ts.isTemplateExpression(node.expression)) {
        literal(node.expression);
      }
    }
    ts.forEachChild(node, visit);
  };
  visit(file);
  return found;
}

test.each(readdirSync(SOURCE).filter(name => /\.tsx?$/.test(name)))('%s', name => {
  expect(untranslated(readFileSync(SOURCE + name, 'utf8'))).toEqual([]);
});

test('a word that nobody translates is found, wherever it stands', () => {
  expect(untranslated('const a = <b title="Stop it">words</b>;')).toEqual(['Stop it', 'words']);
  expect(untranslated('const a = <b aria-label={open ? `Close ${x}` : trans.__("Open")} />;')).toEqual(['Close ']);
  expect(untranslated('throw new Refused("No answer.");')).toEqual(['No answer.']);
  expect(untranslated('const a = <b>{`${n} left`}</b>;')).toEqual([' left']);
  expect(untranslated('const a = <b title={trans.__("Stop")}>{n} · {trans.__("words")}</b>;')).toEqual([]);
});
