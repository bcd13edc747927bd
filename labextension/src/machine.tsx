// The GPUs: use, memory, power, temperature, and whose processes hold them.
import type { TranslationBundle } from '@jupyterlab/translation';
import { bytes, gpuFacts, holder, IGpu } from '@llm-magics/model';
import * as React from 'react';
import { h } from './h';

function Bar(props: { share: number; label: string }): JSX.Element {
  return (
    <span
      className="llm-Progress"
      role="meter"
      aria-label={props.label}
      aria-valuemin={0}
      aria-valuemax={100}
      aria-valuenow={Math.round(props.share * 100)}
    >
      <span style={{ width: `${Math.min(1, props.share) * 100}%` }} />
    </span>
  );
}

/** One GPU and its processes; drawn again when something of its own changed. */
export const Gpu = React.memo((props: { gpu: IGpu; trans: TranslationBundle }): JSX.Element => {
  const { gpu, trans } = props;
  const facts = gpuFacts(gpu, trans);
  return (
    <li className="llm-Gpu">
      <div className="llm-Row-head">
        <span className="llm-Row-name" title={`${gpu.name}\n${gpu.uuid}`}>
          GPU {gpu.index}
        </span>
        <span className="llm-muted">{gpu.name}</span>
      </div>
      {gpu.memory_total > 0 && (
        <div className="llm-Row-line">
          <Bar share={gpu.memory_used / gpu.memory_total} label={trans.__('Memory of GPU %1', gpu.index)} />
          <span>
            {bytes(gpu.memory_used)} / {bytes(gpu.memory_total)}
          </span>
        </div>
      )}
      {facts.length > 0 && <div className="llm-Row-line llm-muted">{facts.join(' · ')}</div>}
      {gpu.processes.map(process => (
        <div className="llm-Row-line llm-muted" key={process.pid}>
          <span>{holder(process, trans)}</span>
          <span>{process.memory === null ? '' : bytes(process.memory)}</span>
        </div>
      ))}
    </li>
  );
});
