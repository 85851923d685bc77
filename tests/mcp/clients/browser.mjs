// Opens a preview link in a real browser; prints the page's title once its WebSocket has answered.
import { chromium } from 'playwright-core';

const browser = await chromium.launch({
  executablePath: process.env.CHROMIUM,
  args: ['--no-sandbox', '--disable-gpu', '--disable-quic', '--disable-background-networking', '--disable-component-update',
    '--disable-sync', '--no-first-run'],
});
const context = await browser.newContext();
const page = await context.newPage();
const response = await page.goto(process.argv[2]);
await page.waitForFunction(() => document.title !== 'waiting', null, { timeout: 100000 });
const cookies = await context.cookies();
const readable = await page.evaluate(() => document.cookie);
console.log(JSON.stringify({ status: response.status(), title: await page.title(), cookies, readable }));
await browser.close();
