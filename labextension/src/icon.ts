import { LabIcon } from '@jupyterlab/ui-components';

import svgstr from './iconsvg';

export const engineIcon = new LabIcon({ name: 'llm-magics:engine', svgstr });
