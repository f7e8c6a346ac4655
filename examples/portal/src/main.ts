// node dist/src/main.js [--url URL] [--tenant NAME] [--move FROM_SKU_ID TO_SKU_ID] [--most USERS]
import { randomUUID } from 'node:crypto';
import { parseArgs } from 'node:util';

import type { TenantScope } from '../generated/graphql.js';
import { Gateway } from './gateway.js';
import { Failures, Holders, Move, Progress, Tenants, UnusedSeats } from './operations.js';

const ENDED = new Set(['SUCCEEDED', 'PARTLY_FAILED', 'FAILED', 'CANCELLED']);
const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    url: { type: 'string', default: 'http://127.0.0.1:8000/graphql' },
    tenant: { type: 'string' },
    move: { type: 'boolean', default: false },
    most: { type: 'string', default: '400' },
  },
});
const gateway = new Gateway(values.url, process.env['GATEWAY_TOKEN']);

type Tenant = { id: string; name: string; domain: string };

async function allTenants(): Promise<Tenant[]> {
  const found: Tenant[] = [];
  let after: string | null | undefined = null;
  do {
    const page: { nodes: Tenant[]; pageInfo: { hasNextPage: boolean; endCursor?: string | null } } = (
      await gateway.ask(Tenants, { after })
    ).tenants;
    found.push(...page.nodes);
    after = page.pageInfo.hasNextPage ? page.pageInfo.endCursor : null;
  } while (after);
  return found;
}

async function showUnusedSeats(scope: TenantScope): Promise<void> {
  const { lines, coverage } = (await gateway.ask(UnusedSeats, { scope })).portfolio;
  for (const line of [...lines].sort((a, b) => b.unusedUnits - a.unusedUnits).slice(0, 10)) {
    const first = line.subscribedSkus.nodes.map((sku) => `${sku.tenant.name} ${sku.availableUnits}`).join(', ');
    console.log(`${String(line.unusedUnits).padStart(5)}  ${line.productName} in ${line.tenantCount}: ${first}`);
  }
  console.log(`${coverage.answered} of ${coverage.asked} tenants answered`);
  for (const failed of coverage.failed) console.log(`  not ${failed.tenant.name}: ${failed.code}`);
}

async function move(scope: TenantScope, from: string, to: string, most: number): Promise<boolean> {
  const { users } = await gateway.ask(Holders, { scope, skuIds: [from], first: most });
  console.log(`${users.totalCount} hold it, ${users.nodes.length} are to be moved`);
  const input = { users: { ids: users.nodes.map((user) => user.id) }, assign: [{ skuId: to }], remove: [from] };

  const looked = (await gateway.change(Move, { input: { ...input, dryRun: true } })).updateLicensesInBulk;
  for (const effect of looked.preview?.effects ?? []) {
    console.log(`would be ${effect.change > 0 ? '+' : ''}${effect.change} ${effect.sku.productName}`);
  }
  for (const problem of [...(looked.preview?.blockers ?? []), ...looked.userErrors]) console.log(`  ${problem.message}`);
  if (looked.userErrors.length) return false;

  // With the key a repeat after a lost answer gives the same job.
  const asked = (await gateway.change(Move, { input: { ...input, idempotencyKey: randomUUID() } })).updateLicensesInBulk;
  if (!asked.job) throw new Error(asked.userErrors.map((error) => error.message).join(' '));
  const { id } = asked.job;
  await gateway.follow(
    Progress,
    { id },
    ({ jobProgress: { state, done, failed, total } }) => draw(state, done, failed, total),
    ({ jobProgress }) => ENDED.has(jobProgress.state),
  );
  const job = (await gateway.ask(Failures, { id })).node;
  if (job?.__typename !== 'Job') throw new Error('the job is gone');
  for (const result of job.results.nodes) {
    console.log(`  ${result.user?.displayName}: ${result.userErrors.map((error) => error.message).join(' ')}`);
  }
  console.log(`the job ended: ${job.state}`);
  return job.state === 'SUCCEEDED';
}

function draw(state: string, done: number, failed: number, total: number): void {
  const width = 30;
  const full = total ? Math.round((done / total) * width) : width;
  console.log(`[${'#'.repeat(full).padEnd(width, '.')}] ${done}/${total}, ${failed} failed, ${state}`);
}

const tenants = await allTenants();
console.log(`${tenants.length} tenants: ${tenants.map((tenant) => tenant.name).join(', ')}`);
const named = tenants.filter((tenant) => tenant.name === values.tenant);
if (values.tenant && !named.length) throw new Error(`There is no tenant ${values.tenant}.`);
const scope: TenantScope = values.tenant ? { ids: named.map((tenant) => tenant.id) } : { all: true };
await showUnusedSeats(scope);
if (values.move) {
  const [from, to] = positionals;
  if (!from || !to) throw new Error('--move takes the SKU ids of two products: from which, to which.');
  process.exitCode = (await move(scope, from, to, Number(values.most))) ? 0 : 1;
}
