// How pages are looked at: by axe, on a phone and on a wide screen, by day and by night; and kept as pictures where a folder is named.
import { mkdirSync } from 'node:fs';
import { createRequire } from 'node:module';

const sizes = [['phone', { width: 390, height: 844 }], ['wide', { width: 1440, height: 900 }]];
const every = ['wcag2a', 'wcag2aa', 'wcag21a', 'wcag21aa', 'wcag22aa', 'best-practice'];
// By night only colours differ: whether what is written can be told from what is behind it.
const colours = { light: { type: 'tag', values: every }, dark: { type: 'rule', values: ['color-contrast'] } };

// What others wrote may neither hide nor turn what is beside it, wherever it stands but in fields, where it is theirs.
const hidden = '[\\u0001-\\u0008\\u000b\\u000c\\u000e-\\u001f\\u007f-\\u009f\\u00ad\\u034f\\u061c\\u115f\\u1160\\u180e\\u200b-\\u200f\\u2028-\\u202e\\u2060-\\u206f\\u2800\\u3164\\ufe00-\\ufe0f\\ufeff\\uffa0]';
export const unseen = (page) => page.evaluate((characters) => {
  const is = new RegExp(characters, 'u');
  const found = is.test(document.title) ? [document.title] : [];
  const texts = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  while (texts.nextNode()) {
    const { parentElement: around, data } = texts.currentNode;
    if (is.test(data) && !around.closest('textarea, script')) found.push(`${around.outerHTML.slice(0, 300)}`);
  }
  for (const one of document.querySelectorAll('[aria-label], [title], [placeholder], [alt]')) {
    for (const name of ['aria-label', 'title', 'placeholder', 'alt']) if (is.test(one.getAttribute(name) ?? '')) found.push(`${name} of ${one.outerHTML.slice(0, 300)}`);
  }
  return found.map((text) => text.replace(new RegExp(characters, 'gu'), (c) => `<U+${c.codePointAt(0).toString(16)}>`));
}, hidden);

// `quick` keeps pictures alone, of a page that was looked at already.
export const looking = (npm, shots) => {
  if (shots) mkdirSync(shots, { recursive: true });
  // axe itself: what wraps it opens a page of its own each time.
  const { source } = createRequire(createRequire(`${npm}/package.json`).resolve('@axe-core/playwright'))('axe-core');
  const faults = async (page, runOnly) => {
    if (await page.evaluate(() => window.axe === undefined)) await page.evaluate(source);
    const { violations } = await page.evaluate(
      (only) => window.axe.run(document, { runOnly: only, resultTypes: ['violations'], preload: false }), runOnly);
    const serious = violations.filter(({ impact }) => impact === 'serious' || impact === 'critical');
    return serious.map(({ id, nodes }) => `${id}: ${nodes.map((n) => `${n.target} ${n.failureSummary}`).join('; ')}`);
  };
  return async (page, name, quick = process.env.CONSOLE_QUICK) => {
    const check = (fine, words) => { if (!fine) throw new Error(`${name}, ${words}`); };
    if (quick && !shots) return;
    const before = page.viewportSize();
    for (const [size, viewport] of sizes) {
      await page.setViewportSize(viewport);
      for (const [colorScheme, rules] of Object.entries(colours)) {
        await page.emulateMedia({ colorScheme, reducedMotion: 'reduce' });
        const found = quick ? [] : await faults(page, rules);
        check(!found.length, `${size}, ${colorScheme}: ${found.join('\n')}`);
        if (shots) await page.screenshot({ path: `${shots}/${name}-${size}-${colorScheme}.png`, fullPage: size === 'wide' });
      }
      const wide = await page.evaluate(() => document.documentElement.scrollWidth - document.documentElement.clientWidth);
      check(wide <= 0, `${size}: it is ${wide} px too wide`);
    }
    const bytes = (await page.content()).length;
    check(bytes < 150 * 1024, `it has ${bytes} bytes`);
    const found = await unseen(page);
    check(!found.length, `characters that are not seen: ${found.join('\n')}`);
    await page.setViewportSize(before);
    await page.emulateMedia({ colorScheme: 'light' });
  };
};
