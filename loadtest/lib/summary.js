// What a run leaves behind: NAME.txt (its first line is the headline), NAME.json and NAME.xml.

import { files } from './config.js';
import { OUTCOMES, REFUSALS, SHED } from './outcomes.js';

// handleSummary() of a scenario.
export function summary(scenario) {
  return (data) => {
    const rules = passRules(data);
    const checks = allChecks(data.root_group);
    const failed =
      rules.some((rule) => !rule.ok) || checks.length === 0 || checks.some((one) => one.fails > 0);
    const words = `${headline(scenario, data, failed)}\n${details(data, rules, checks)}`;
    const file = (ending) => `${files.results}/${scenario}.${ending}`;
    return {
      stdout: words,
      [file('txt')]: words,
      [file('json')]: JSON.stringify(data, null, 2),
      [file('xml')]: junit(scenario, data, rules, checks),
    };
  };
}

function value(data, metric, stat) {
  const found = data.metrics[metric];
  const number = found && found.values[stat];
  return number === undefined || number === null ? 0 : number;
}

const counted = (data, metric) => value(data, metric, 'count');
const sum = (data, names) =>
  names.reduce((total, name) => total + counted(data, `claims_${name}`), 0);
const seconds = (data) => data.state.testRunDurationMs / 1000;
const ms = (number) => `${number.toFixed(number < 10 ? 1 : 0)} ms`;

function passRules(data) {
  const rules = [];
  for (const metric of Object.keys(data.metrics).sort()) {
    const thresholds = data.metrics[metric].thresholds || {};
    for (const rule of Object.keys(thresholds)) {
      rules.push({ name: `${metric}: ${rule}`, ok: thresholds[rule].ok });
    }
  }
  return rules;
}

function allChecks(group) {
  return group.groups.reduce((found, inner) => found.concat(allChecks(inner)), group.checks);
}

function headline(scenario, data, failed) {
  const audits = counted(data, 'audits_exact');
  const verdict =
    audits > 0 && counted(data, 'audit_failures') === 0 ? 'audit exact' : 'AUDIT FAILED';
  const dropped = counted(data, 'dropped_iterations');
  const parts = [
    `won ${counted(data, 'users_won')}`,
    `refused ${sum(data, REFUSALS)}`,
    `replayed ${sum(data, ['replayed'])}`,
    `shed ${sum(data, SHED)}`,
    `p95 ${ms(value(data, 'claim_ms', 'p(95)'))}`,
    verdict,
  ];
  if (dropped > 0) {
    parts.push(`VOID: ${dropped} dropped`);
  }
  const word = failed ? 'failed' : 'passed';
  return `${scenario} ${word} in ${seconds(data).toFixed(0)} s: ${parts.join(', ')}`;
}

function details(data, rules, checks) {
  const lines = ['', 'Answers to claims'];
  for (const outcome of OUTCOMES) {
    const number = counted(data, `claims_${outcome}`);
    if (number > 0) {
      lines.push(`  ${outcome.padEnd(24)}${number}`);
    }
  }
  lines.push('', 'Users');
  for (const end of ['tried', 'won', 'refused', 'shed', 'unsettled', 'lost']) {
    lines.push(`  ${end.padEnd(24)}${counted(data, `users_${end}`)}`);
  }
  lines.push('', 'Latency'.padEnd(26) + 'median      p95      p99      max');
  const latencies = ['claim_ms', 'claim_granted_ms', 'claim_refused_ms'];
  const ofCheckout = ['checkout_look_ms', 'checkout_change_ms'];
  for (const metric of latencies.concat(ofCheckout.filter((name) => data.metrics[name]))) {
    const stats = ['med', 'p(95)', 'p(99)', 'max'].map((stat) => value(data, metric, stat));
    const figures = stats.map((number) => ms(number).padStart(9)).join('');
    lines.push(`  ${metric.padEnd(21)}${figures}`);
  }
  lines.push('', 'Pass rules');
  for (const rule of rules) {
    lines.push(`  ${rule.ok ? 'ok    ' : 'FAILED'} ${rule.name}`);
  }
  lines.push('', 'Checks');
  for (const one of checks) {
    const mark = one.fails === 0 ? 'ok    ' : 'FAILED';
    lines.push(`  ${mark} ${one.name} (${one.passes} of ${one.passes + one.fails})`);
  }
  return `${lines.join('\n')}\n\n`;
}

// JUnit's form: one case for each pass rule and each check.
function junit(scenario, data, rules, checks) {
  const cases = rules
    .map((rule) => ({ group: 'rule', name: rule.name, failure: rule.ok ? '' : 'not met' }))
    .concat(
      checks.map((one) => ({
        group: 'check',
        name: one.name,
        failure: one.fails === 0 ? '' : `failed ${one.fails} of ${one.passes + one.fails} times`,
      })),
    );
  const failures = cases.filter((one) => one.failure !== '').length;
  const lines = cases.map((one) => {
    const head = `    <testcase classname="${scenario}.${one.group}" name="${escape(one.name)}"`;
    return one.failure === ''
      ? `${head}/>`
      : `${head}><failure message="${escape(one.failure)}"/></testcase>`;
  });
  return [
    '<?xml version="1.0" encoding="UTF-8"?>',
    '<testsuites>',
    `  <testsuite name="loadtest.${scenario}" tests="${cases.length}" failures="${failures}"` +
      ` time="${seconds(data).toFixed(3)}">`,
    ...lines,
    '  </testsuite>',
    '</testsuites>',
    '',
  ].join('\n');
}

function escape(words) {
  return words
    .replace(/&/g, '&amp;')
    .replace(/</g, '&lt;')
    .replace(/>/g, '&gt;')
    .replace(/"/g, '&quot;');
}
